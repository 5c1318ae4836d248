#!/bin/bash
# The network of the node: a bridge that the pods hang on, and addresses of Services on loopback.
# All of it belongs to the network namespace that this is run in, which must not be the machine's.
#   network.sh prepare               the bridge and the Services' addresses are there
#   network.sh add FILE LINK ADDRESS a namespace, held by FILE, with this address on the bridge
#   network.sh remove FILE           it is gone
set -eu
bridge=pods
gateway=10.200.0.1
case $1 in
  prepare)
    ip link set lo up
    ip link show "$bridge" >/dev/null 2>&1 && exit 0
    ip link add "$bridge" type bridge
    ip address add "$gateway/16" dev "$bridge"
    ip link set "$bridge" up
    ip address add 10.96.0.0/24 dev lo # every address of it is this machine's
    ;;
  add)
    : > "$2"
    unshare --net="$2" ip link set lo up
    ip link add "$3" type veth peer name eth0 netns "$2"
    ip link set "$3" master "$bridge" up
    nsenter --net="$2" ip address add "$4/16" dev eth0
    nsenter --net="$2" ip link set eth0 up
    nsenter --net="$2" ip route add default via "$gateway"
    ;;
  remove)
    umount -l "$2" 2>/dev/null || true
    rm -f "$2"
    ;;
esac
