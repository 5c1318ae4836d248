#!/bin/bash
# Becomes a container's main process: makes its root file system in a mount namespace of its own,
# then executes the command in it. The root is this machine's, read-only, with the image's own files
# and the volumes laid over it.
#   box.sh DIRECTORY USER GROUP GROUPS command...
# DIRECTORY holds `plan`: lines of tab-separated words, "file FROM TO" (copied, executable) and
# "bind FROM TO ro|rw". USER "-" keeps the present one. An empty directory `box` is in it, too.
set -eu
directory=$1 user=$2 group=$3 groups=$4
shift 4
umask 022
box=$directory/box
mount -t tmpfs -o mode=755,size=4m box "$box"
mkdir "$box/layer" "$box/root"
while IFS=$'\t' read -r how from to _; do
  target=$box/layer$to
  if [ "$how" = bind ] && [ -d "$from" ]; then
    mkdir -p "$target"
  else
    mkdir -p "${target%/*}"
    if [ "$how" = file ]; then
      cp "$from" "$target"
      chmod 755 "$target"
    else
      : > "$target"
    fi
  fi
done < "$directory/plan"
# The layer lies on a file system of its own: one within the other would be refused.
mount -t overlay -o "ro,lowerdir=$box/layer:/" box "$box/root"
while IFS=$'\t' read -r how from to mode; do
  [ "$how" = bind ] || continue
  [ -e "$box/root$to" ] || mkdir -p "$box/root$to" # within a volume that was mounted before
  mount --rbind "$from" "$box/root$to"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$box/root$to"
done < "$directory/plan"
if [ "$user" = - ]; then
  exec chroot "$box/root" "$@"
fi
exec chroot --userspec="$user:$group" --groups="$groups" "$box/root" "$@"
