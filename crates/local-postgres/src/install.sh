# Runs a command that installs PostgreSQL's package, without the database cluster that
# Debian's package would create and start.
#
# $1: a file in the folder of settings that Debian's package reads before it creates one
# $2: a file to lock, so that only one of these processes at a time has made that setting
# the rest: the command
#
# The setting goes again however the command ends. A process of its own sees to that, because
# it outlives a caller who is killed while the command is at work.
setting=$1
folder=${setting%/*}
lock=$2
shift 2

exec 9>"$lock"
flock 9
if [ ! -e "$setting" ]; then
    # The package works with and without this folder.
    [ -d "$folder" ] && leave_folder=yes
    trap 'rm -f "$setting"; [ "$leave_folder" ] || rmdir -p "$folder" 2>/dev/null' EXIT
    trap 'exit 130' HUP INT TERM
    mkdir -p "$folder"
    echo 'create_main_cluster = false' >"$setting" || exit
fi
# A service that the package starts must not keep the lock.
"$@" 9>&-
