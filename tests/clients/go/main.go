// The story of tests/clients/test_clients.py with the neo4j driver for Go.
// Usage: client bolt://HOST:PORT NAME; prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
)

const (
	countQuery  = "MATCH (n:Client {name: $name}) RETURN count(n) AS c"
	createQuery = "CREATE (:Client {name: $name})"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func check(err error) {
	must(0, err)
}

func run(ctx context.Context, session neo4j.SessionWithContext, query string, args map[string]any) []*neo4j.Record {
	result := must(session.Run(ctx, query, args))
	return must(result.Collect(ctx))
}

func main() {
	url, ctx := os.Args[1], context.Background()
	args := map[string]any{"name": os.Args[2]}
	driver := must(neo4j.NewDriverWithContext(url, neo4j.NoAuth()))
	defer driver.Close(ctx)
	session := driver.NewSession(ctx, neo4j.SessionConfig{FetchSize: 100})
	defer session.Close(ctx)
	count := func() any { return run(ctx, session, countQuery, args)[0].Values[0] }

	result := must(session.Run(ctx, "CREATE (n:Client {name: $name, n: 1}) RETURN n", args))
	node := must(result.Single(ctx)).Values[0].(neo4j.Node)
	summary := must(result.Consume(ctx))

	var refused *neo4j.Neo4jError
	_, err := session.Run(ctx, "CREAT (n)", nil)
	if !errors.As(err, &refused) {
		check(fmt.Errorf("no failure, but %v", err))
	}

	transaction := must(session.BeginTransaction(ctx))
	must(transaction.Run(ctx, createQuery, args))
	check(transaction.Rollback(ctx))
	kept := count()
	must(session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		return tx.Run(ctx, createQuery, args)
	}))

	rows, sum := 0, int64(0)
	stream := must(session.Run(ctx, "UNWIND range(1, 10000) AS i RETURN i, [i] AS l", nil))
	for stream.Next(ctx) {
		rows++
		sum += stream.Record().Values[1].([]any)[0].(int64)
	}
	check(stream.Err())

	version := summary.Server().ProtocolVersion()
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"created":   summary.Counters().NodesCreated(),
		"read":      node.Props["name"],
		"labels":    node.Labels,
		"code":      refused.Code,
		"kept":      kept,
		"committed": count(),
		"rows":      rows,
		"sum":       sum,
		"database":  summary.Database().Name(),
		"protocol":  fmt.Sprintf("%d.%d", version.Major, version.Minor),
	}))
}
