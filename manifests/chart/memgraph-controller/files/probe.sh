#!/bin/bash
# Does this instance speak Bolt? A handshake on its own port: no query, so no password is needed, and
# nothing waits behind a replica that hangs. Bolt opens only after recovery.
exec 3<>"/dev/tcp/${BOLT_HOST:-127.0.0.1}/${BOLT_PORT:-7687}" || exit 1
printf '\x60\x60\xb0\x17\x00\x00\x02\x05\x00\x00\x03\x04\x00\x00\x01\x04\x00\x00\x00\x01' >&3
answer=$(timeout 3 head -c 4 <&3 | od -An -tx1 | tr -d ' \n')
[ "${#answer}" = 8 ] && [ "$answer" != 00000000 ]
