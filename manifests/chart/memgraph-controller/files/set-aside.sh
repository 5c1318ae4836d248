#!/bin/bash
# Init container of a Memgraph pod: sets the instance's data aside if a reset token says so.
# The data are moved beside their directory, never deleted. It acts only on a token greater than
# the last one carried out, which it keeps in the volume; the move comes before the note, so that
# killed in between, the next run finds nothing to move and notes the token.
# A copy is removed only if it was released by its token, and an earlier run has made it.
#
#   TOKENS   directory with files for each instance (the ConfigMap of tokens, mounted; may be empty):
#            memgraph-0 holds its token, memgraph-0.released the copies that may go
#   DATA     the data directory
#   POD_NAME this instance
#   VOLUME_ROOT  "yes" where DATA is the volume itself, which cannot be moved: what lies in it is
#            moved into DATA/.set-aside then, one entry after the other, and on the next run the rest
# What has been set aside is listed at the end, for `memgraph-controller diverged`: one line each in
# the pod's status, with token, bytes and time.
set -eu
if [ "${VOLUME_ROOT:-}" = yes ]; then
  beside="$DATA/.set-aside"
  mkdir -p "$beside"
else
  beside="$(dirname "$DATA")"
fi
note="$beside/last-reset-token"
name="$(basename "$DATA").set-aside"

tell() {
  for kept in "$beside/$name"-*; do
    [ -d "$kept" ] || continue
    bytes=$(($(du -sk "$kept" | cut -f1) * 1024))
    echo "set-aside ${kept##*-} $bytes $(stat -c %Y "$kept")"
  done | sort -k2,2n | tail -n 50 > "${TERMINATION_LOG:-/dev/termination-log}" 2>/dev/null || true
}
trap tell EXIT

# A copy that cannot be removed keeps no instance from its start: it is listed, and tried again.
remove_released() {
  { cat "$TOKENS/$POD_NAME.released" 2>/dev/null || true; echo; } | tr ' ' '\n' |
    while read -r each; do
      case "$each" in '' | *[!0-9]*) continue ;; esac
      if [ "$each" -le "$last" ] && [ -d "$beside/$name-$each" ]; then
        rm -rf "$beside/$name-$each" || true
        echo "copy $each: was released, and is removed"
      fi
    done
}

token=$(cat "$TOKENS/$POD_NAME" 2>/dev/null || true)
last=$(cat "$note" 2>/dev/null || true)
token=${token:-0} last=${last:-0}
case "$token$last" in
  *[!0-9]*) echo "a token is no number: '$token', last '$last'" >&2; exit 1 ;;
esac
remove_released
if [ "$token" -le "$last" ]; then
  echo "token $token: nothing to do"
  exit 0
fi
kept="$beside/$name-$token"
if [ "${VOLUME_ROOT:-}" = yes ]; then
  mkdir -p "$kept"
  for entry in "$DATA"/* "$DATA"/.[!.]*; do
    case "$entry" in
      "$beside" | "$DATA/lost+found") continue ;;
    esac
    [ ! -e "$entry" ] || mv "$entry" "$kept/"
  done
  sync
  echo "token $token: data set aside in ${kept#"$DATA/"}"
elif [ -e "$DATA" ]; then
  [ ! -e "$kept" ] || { echo "$kept is there already" >&2; exit 1; }
  mv "$DATA" "$kept"
  touch "$kept"
  sync
  echo "token $token: data set aside in $(basename "$kept")"
fi
echo "$token" > "$note.new"
mv "$note.new" "$note"
sync
