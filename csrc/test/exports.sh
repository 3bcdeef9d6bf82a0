#!/bin/sh
# Checks that both libraries in $build export exactly the functions that scm_rights.h declares ($declared), and that these
# are the ones in symbols.txt. A change breaks programs that are linked with the library, so RELEASING.md says what it needs.
# Names that begin with an underscore belong to the compiler, the linker and libc, and are ignored.
set -eu
: "${nm:?}" "${build:?}" "${declared:?}"

# shellcheck disable=SC2086 # these are names
printf '%s\n' $declared | sort >"$build/declared"
diff symbols.txt "$build/declared" >&2
echo "ok 1 - symbols.txt has the functions of scm_rights.h"
$nm -D --defined-only "$build/libscm_rights.so" | sed -e 's/.* //' -e '/^_/d' | sort | diff "$build/declared" - >&2
echo "ok 2 - libscm_rights.so exports them"
$nm -g --defined-only "$build/libscm_rights.a" | sed -n 's/.* [A-Z] \([^_]\)/\1/p' | sort | diff "$build/declared" - >&2
echo "ok 3 - libscm_rights.a exports them"
echo "1..3"
