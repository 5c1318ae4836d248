// A plain TCP proxy as one writes it in Go: io.Copy both ways, which is splice(2) on Linux.
// peer LISTEN_PORT UPSTREAM_PORT; a line on stdin cuts every connection.
package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"sync"
)

var (
	guard sync.Mutex
	open  = map[*net.TCPConn]bool{}
)

func remember(conn *net.TCPConn) {
	guard.Lock()
	open[conn] = true
	guard.Unlock()
}

func forget(conn *net.TCPConn) {
	guard.Lock()
	delete(open, conn)
	guard.Unlock()
	conn.Close()
}

func relay(client *net.TCPConn, upstream string) {
	remember(client)
	defer forget(client)
	dialled, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	server := dialled.(*net.TCPConn)
	remember(server)
	defer forget(server)
	done := make(chan bool)
	go func() {
		io.Copy(server, client)
		server.CloseWrite()
		done <- true
	}()
	io.Copy(client, server)
	client.CloseWrite()
	<-done
}

func cutOnEachLine() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		guard.Lock()
		for conn := range open {
			conn.SetLinger(0)
			conn.Close()
		}
		guard.Unlock()
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	go cutOnEachLine()
	for {
		client, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go relay(client.(*net.TCPConn), "127.0.0.1:"+os.Args[2])
	}
}
