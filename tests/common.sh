# For tests/run, tests/lab/run and tests/bench/run: where things are, and builds of them.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export DEBIAN_FRONTEND=noninteractive

# build DIR [meson options]: configures once, and again when the options are others, then builds.
build() {
    local dir=$1
    shift
    if [ -e "$dir/build.ninja" ] && [ "$(cat "$dir/drover-options" 2>/dev/null)" != "$*" ]; then
        meson configure "$dir" "$@" >/dev/null
    fi
    if [ ! -e "$dir/build.ninja" ]; then
        meson setup "$dir" "$top" "$@" >"/tmp/meson-setup.$$" 2>&1 || {
            cat "/tmp/meson-setup.$$" >&2
            rm -f "/tmp/meson-setup.$$"
            return 1
        }
        rm -f "/tmp/meson-setup.$$"
    fi
    echo "$*" >"$dir/drover-options"
    ninja -C "$dir" --quiet
}
plain_build() { build "${DROVER_BUILD:-$top/build}" --buildtype=debugoptimized; }
failpoint_build() { build "${DROVER_BUILD_FAULTS:-$top/build-faults}" --buildtype=debugoptimized -Dfailpoints=true; }
sanitized_build() {
    build "${DROVER_BUILD_SAN:-$top/build-san}" --buildtype=debugoptimized -Db_sanitize=address,undefined \
        -Db_lundef=false -Dfailpoints=true
}

need_root() {
    [ "$(id -u)" = 0 ] || {
        echo "$0: needs root (namespaces, libvirt daemons of its own): run it with sudo" >&2
        exit 2
    }
}
