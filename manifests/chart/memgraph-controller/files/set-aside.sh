#!/bin/bash
# Init container of a Memgraph pod: sets the instance's data aside if a reset token says so.
# Nothing is deleted: the data are moved beside their directory. It acts only on a token greater than
# the last one carried out, which it keeps in the volume; the move comes before the note, so that
# killed in between, the next run finds nothing to move and notes the token.
#
#   TOKENS   directory with one file per instance (the ConfigMap of tokens, mounted; may be empty)
#   DATA     the data directory
#   POD_NAME this instance
set -eu
note="$(dirname "$DATA")/last-reset-token"
token=$(cat "$TOKENS/$POD_NAME" 2>/dev/null || true)
last=$(cat "$note" 2>/dev/null || true)
token=${token:-0} last=${last:-0}
case "$token$last" in
  *[!0-9]*) echo "a token is no number: '$token', last '$last'" >&2; exit 1 ;;
esac
if [ "$token" -le "$last" ]; then
  echo "token $token: nothing to do"
  exit 0
fi
kept="$DATA.set-aside-$token"
if [ -e "$DATA" ]; then
  [ ! -e "$kept" ] || { echo "$kept is there already" >&2; exit 1; }
  mv "$DATA" "$kept"
  sync
  echo "token $token: data set aside in $(basename "$kept")"
fi
echo "$token" > "$note.new"
mv "$note.new" "$note"
sync
