#!/bin/bash
# The preStop hook of a Memgraph pod: waits until stopping this instance is safe, then returns, and
# the kubelet sends SIGTERM. It decides nothing: the deletion of the pod makes the leader hand over.
# Needs nothing but bash and coreutils: the Memgraph image has no curl to count on.
#
#   PRESTOP_ADDRESSES   host:port of controller pods or of their Service, separated by spaces
#   PRESTOP_TIMEOUT     seconds to wait; keep it below terminationGracePeriodSeconds
#   POD_NAME            this pod
#   PRESTOP_GONE        seconds after which controllers whose name does not exist are taken for
#                       uninstalled (10); a name service that does not answer is not that
#
# Exit 0: safe. Exit 1: not safe in time, nobody knows this pod, or nobody is left to ask; the reason
# is on stderr.
if [ "$1" = ask ]; then # host port: prints the first and the last line of the answer
  exec 3<>"/dev/tcp/$2/$3" || exit 1
  printf 'GET /api/v1/prestop/%s HTTP/1.0\r\nHost: %s\r\n\r\n' "$POD_NAME" "$2" >&3
  IFS= read -r first <&3
  last=""
  while IFS= read -r line <&3 || [ -n "$line" ]; do last=$line; done
  printf '%s\n%s\n' "$first" "$last"
  exit 0
fi

deadline=$((SECONDS + ${PRESTOP_TIMEOUT:-600}))
reason="no controller answered"
named=$SECONDS # when a name of a controller was last one that exists, or may exist

while [ "$SECONDS" -lt "$deadline" ]; do
  for address in $PRESTOP_ADDRESSES; do
    answer=$(LC_ALL=C timeout 3 "$BASH" "$0" ask "${address%:*}" "${address##*:}" 2>&1) || {
      case "$answer" in *"Name or service not known"*) ;; *) named=$SECONDS ;; esac
      continue
    }
    named=$SECONDS
    case "$answer" in
      HTTP/1.*" 200"*) exit 0 ;;
      HTTP/1.*" 404"*) echo "preStop: nobody waits for $POD_NAME: ${answer#*$'\n'}" >&2; exit 1 ;;
      HTTP/1.*" 503"*) reason=${answer#*$'\n'} ;;
    esac
  done
  # Uninstalled: nobody will ever say that it is safe, and there is nobody to hand over to.
  if [ $((SECONDS - named)) -ge "${PRESTOP_GONE:-10}" ]; then
    echo "preStop: there are no controllers for $POD_NAME any more: $PRESTOP_ADDRESSES" >&2
    exit 1
  fi
  sleep 0.5
done
echo "preStop: stopping $POD_NAME is still not safe: $reason" >&2
exit 1
