#!/usr/bin/env bash
# radosgw, the S3 of Ceph, for tests: a second S3, not a pretended one, which checks signatures in headers and in
# presigned URLs. One monitor and one storage daemon keep all in memory; from a relocatable folder (apt.sh).
#
#   radosgw.sh fetch            makes the folder if it is not there; prints its path
#   radosgw.sh start DIRECTORY  starts one on a free port of 127.0.0.1; prints DIRECTORY/env, a file for its owner's
#                               eyes with AWS_ENDPOINT_URL_S3=, AWS_ACCESS_KEY_ID=, AWS_SECRET_ACCESS_KEY= and
#                               AWS_REGION= (it takes any region, and no LocationConstraint)
#   radosgw.sh stop DIRECTORY   stops it and removes the directory; nothing is kept
#   radosgw.sh share BUILD      starts one for all tests of a build directory, if none runs: BUILD/radosgw/env, or
#                               BUILD/radosgw/why says why there is none
#   radosgw.sh unshare BUILD    stops and removes it
#
# Without one tests are skipped, but with AEGIS_REQUIRE_AWS or CI set they fail.
# AEGIS_AWS_FOR=PID: what `start` made is stopped and removed when that process is no more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/server.sh"

kind=radosgw answer=env required_by=AEGIS_REQUIRE_AWS
programs="ceph-mon ceph-osd radosgw radosgw-admin monmaptool osdmaptool"

trim() {
    local file name
    for file in "$1"/usr/bin/*; do
        name=${file##*/}
        case " $programs " in *" $name "*) ;; *) rm -f "$file" ;; esac
    done
    rm -rf "$1"/{sbin,etc,var} "$1"/usr/{sbin,libexec,include} "$1"/usr/lib/{python3,systemd,ceph} "$1"/usr/share \
        "$1"/usr/lib/*/{gconv,perl,perl-base,dri} "$1"/usr/lib/*/librbd.so* "$1"/usr/lib/*/libradosstriper.so*
}

make_folder() {
    unpack "$1" bookworm '^(lib|zlib1g$|radosgw$|ceph-(mon|osd|base|common)$)' \
        '^lib(acl1|audit|babeltrace|binutils|cap-ng|cephfs|ctf|db5|dbus|devmapper-event|edit|ext2|file-find|gdbm|gprof|inih|jansson|lvm|md0|ncurses|number-|nvme|pam|parted|pcre2|perl|popt|python|readline|rgw2|selinux|semanage|sepol|smart|ss2|text-glob|urcu)' \
        radosgw ceph-mon ceph-osd
    trim "$1/root"
}

fetch() {
    fetch_once radosgw-16 usr/bin/radosgw-admin make_folder
}

# The folder's own loader runs its programs with its own libraries. Sets `loader`, a command without the program.
find_loader() {
    local root=$1 libraries
    libraries=$(echo "$root"/usr/lib/*-linux-gnu*)
    loader=("$(echo "$root"/lib/*-linux-gnu*/ld-linux-*.so.*)" --library-path
        "$(echo "$root"/lib/*-linux-gnu*):$libraries:$libraries/ceph")
}

# write_configuration ROOT DIRECTORY MONITOR_PORT PORT
# "crc": radosgw does not find a mode in common where "secure" is allowed and nobody authenticates. The monitor's
# short intervals make the six pools in half a second instead of eleven.
write_configuration() {
    local libraries
    libraries=$(echo "$1"/usr/lib/*-linux-gnu*)
    cat >"$2/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = [v2:127.0.0.1:$3/0]
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_cluster_mode = crc
ms_service_mode = crc
ms_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
ms_mon_client_mode = crc
keyring = /dev/null
mon_client_hunt_interval = 0.2
plugin_dir = $libraries/ceph
erasure_code_dir = $libraries/ceph/erasure-code
osd_class_dir = $libraries/rados-classes
run_dir = $2
admin_socket =
pid_file =
log_file = $2/\$name.log
mon_data = $2/mon
mon_data_avail_crit = 1
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
osd_data = $2/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
rgw_data = $2
rgw_frontends = beast endpoint=127.0.0.1:$4
rgw_thread_pool_size = 32
rgw_gc_obj_min_wait = 10
rgw_gc_processor_period = 10
CONF
}

# spawn DIRECTORY PROGRAM ARGUMENT...: in the background, its pid in DIRECTORY/PROGRAM.pid
spawn() {
    local directory=$1 program=$2
    shift 2
    "${as_nobody[@]}" "${loader[@]}" "$root/usr/bin/$program" -c "$directory/ceph.conf" -f "$@" \
        >"$directory/$program.out" 2>&1 9>&- </dev/null &
    echo $! >"$directory/$program.pid"
    disown
}

run() {
    local program=$1
    shift
    unprivileged timeout 60 "${loader[@]}" "$root/usr/bin/$program" -c "$directory/ceph.conf" "$@"
}

# The storage daemon is in the monitor's first map, so that nobody has to tell the monitor of it, which does not run yet.
make_cluster() {
    local fsid
    fsid=$(sed -n 's/^fsid = //p' "$directory/ceph.conf")
    unprivileged mkdir "$directory/mon" "$directory/osd" &&
        run monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$1/0]" "$directory/monmap" &&
        run osdmaptool --createsimple 1 "$directory/osdmap" &&
        run ceph-mon -i a --mkfs --monmap "$directory/monmap" --osdmap "$directory/osdmap" &&
        run ceph-osd -i 0 --no-mon-config --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
}

make_user() {
    (umask 077 && : >"$directory/user" && : >"$directory/env.new")
    run radosgw-admin user create --uid aegis --display-name aegis >"$directory/user" 2>"$directory/log"
}

answers() {
    for _ in $(seq 300); do
        ! curl -s -o "$directory/ready" "http://127.0.0.1:$1/" || return 0
        [ -n "$(server_pid "$directory")" ] || return 1
        sleep 0.1
    done
    return 1
}

write_env() {
    {
        echo "AWS_ENDPOINT_URL_S3=http://127.0.0.1:$1"
        sed -n 's/.*"access_key": "\(.*\)".*/AWS_ACCESS_KEY_ID=\1/p; s/.*"secret_key": "\(.*\)".*/AWS_SECRET_ACCESS_KEY=\1/p' "$directory/user"
        echo "AWS_REGION=us-east-1"
    } >"$directory/env.new"
    mv "$directory/env.new" "$directory/env"
    rm -f "$directory/user"
}

bring_up() {
    local monitor_port port
    monitor_port=$(free_port) port=$(free_port)
    write_configuration "$root" "$directory" "$monitor_port" "$port"
    make_cluster "$monitor_port" >"$directory/log" 2>&1 || return 1
    spawn "$directory" ceph-mon -i a
    spawn "$directory" ceph-osd -i 0
    make_user || return 1
    spawn "$directory" radosgw -n client.rgw
    answers "$port" && write_env "$port"
}

start() {
    directory=$1 root=$(fetch)
    command -v curl >/dev/null || fail "curl is missing: apt-get install curl"
    [ -z "$(server_pid "$directory")" ] || fail "a server runs in '$directory': stop it first"
    find_loader "$root"
    own_directory "$directory"
    cd "$directory"
    for _ in 1 2 3; do # a port may be taken meanwhile
        if bring_up; then
            [ -z "${AEGIS_AWS_FOR:-}" ] || watch "$directory" "$AEGIS_AWS_FOR" "$(cat "$directory/ceph-mon.pid")"
            echo "$directory/env"
            return
        fi
        end_all "$directory"
        rm -rf "$directory"/{mon,osd,monmap,osdmap,*.pid}
    done
    fail "radosgw did not start: $(cat "$directory/log" "$directory"/*.out 2>/dev/null | tail -n 3)"
}

# pid_of DIRECTORY PROGRAM: if it runs; the pid file outlives one that was killed
pid_of() {
    local pid
    pid=$(cat "$1/$2.pid" 2>/dev/null || true)
    [ -z "$pid" ] || ! grep -qaF "$1/ceph.conf" "/proc/$pid/cmdline" 2>/dev/null || echo "$pid"
}

server_pid() {
    pid_of "$1" radosgw
}

# Nothing is kept, so nothing has to be written.
end_all() {
    local program pid
    for program in radosgw ceph-osd ceph-mon; do
        pid=$(pid_of "$1" $program)
        [ -z "$pid" ] || end "$pid" KILL
    done
}

share_start() {
    start "$1" >/dev/null
    cat "$1/env"
}

stop() {
    end_all "$1"
    rm -rf "$1"
}

case "${1:-}" in
fetch) fetch ;;
start | stop | share | share_start | unshare)
    [ $# = 2 ] || fail "usage: radosgw.sh $1 DIRECTORY"
    "$@"
    ;;
*) fail "usage: radosgw.sh fetch | start DIRECTORY | stop DIRECTORY | share BUILD | unshare BUILD" ;;
esac
