# What the scripts share. Sourcing it goes to the root of the repository.
# shellcheck shell=bash disable=SC2034

script=$(realpath "$0")
cd "$(dirname "$script")/.."

# usage prints the comment that a script opens with.
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$script"; }

# staticcheck is pinned, so that a new release cannot turn a green commit red.
staticcheck=v0.8.2

# modules are the package patterns of every module of go.work: in a workspace,
# ./... at the root matches nothing. units are those whose tests need no server.
mapfile -t modules < <(go list -m -f '{{.Dir}}/...' | sed "s|^$PWD|.|")
mapfile -t units < <(printf '%s\n' "${modules[@]}" | grep -v '/e2e/\.\.\.$')

# A checkout whose owner git does not trust has no revision to stamp; that is no
# reason not to build.
if ! git rev-parse HEAD >/dev/null 2>&1; then
	export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false"
fi

# step prints what happens next, and how long everything took until now.
step() { printf '\n== %s (%dm%02ds)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

fail() {
	printf '%s: %s\n' "$0" "$*" >&2
	exit 1
}

# cCompiler tells whether Go's C compiler can make a program.
cCompiler() {
	local cc
	cc=$(go env CC)
	command -v "${cc%% *}" >/dev/null && echo '#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }' | $cc -x c -o /dev/null - 2>/dev/null
}

# watched runs a verbose go test with its output in a log: shown are the tests
# as they end, and all of it when something failed.
watched() {
	local log=$1
	shift
	if "$@" 2>&1 | tee "$log" | grep --line-buffered -E '^ *--- |^(ok|FAIL|panic:)|^seed'; then
		return
	fi
	printf '\n---- the whole output:\n'
	cat "$log"
	return 1
}
