# Shared by the scripts beside it: finds the checkout, makes and reuses its virtual environment.
# Source it; it defines ROOT, PY and the functions step and ensure_venv, and sets -euo pipefail.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"
PY="$VENV/bin/python"

step() {  # step "what is done" command...: says what it does and how long it took
  local what=$1 begin=$SECONDS status=0
  shift
  echo "==> $what"
  "$@" || status=$?
  echo "<== $what: $([ "$status" = 0 ] && echo done || echo "FAILED ($status)") in $((SECONDS - begin)) s"
  return "$status"
}

find_python() {  # prints the first Python that the project supports
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "memgraph-controller needs Python 3.11, 3.12 or 3.13; none found. Set PYTHON=/path/to/python3.x" >&2
  return 1
}

ensure_venv() {  # the environment is rebuilt only when pyproject.toml or the constraints changed
  local stamp="$VENV/.installed" wanted python
  wanted=$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum)
  if [ -x "$PY" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    echo "==> environment .venv is current"
    return
  fi
  python=$(find_python)
  [ -x "$PY" ] || step "create .venv with $("$python" --version)" "$python" -m venv "$VENV"
  step "install the project and its test tools into .venv" \
    "$PY" -m pip install --quiet --disable-pip-version-check -c "$ROOT/constraints.txt" -e "$ROOT[test]"
  "$PY" -m compileall -q "$ROOT/statemachine" "$ROOT/gateway" "$ROOT/controller" || true
  echo "$wanted" > "$stamp"
}
