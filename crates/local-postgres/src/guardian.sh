# Runs a command for as long as the owner of a folder lives, and no longer.
#
# stdin: a pipe that the owner holds open and never writes to, but for the line `leave`
# $1: the folder
# the rest: the command
#
# A watcher is put into the background first; then this process becomes the command, so
# that the owner is its parent and learns how it ends. The watcher is a grandchild, because
# PostgreSQL takes every child of its process for one of its own.
#
# The watcher signals the process group. As it is a member itself, the group's number, and
# so the command's, cannot be given to another process while it lives.
folder=$1
shift

# Whether the command has ended. Its parent is gone, and in a container there may be nobody
# to take its place: a process that ended is then there for ever, as a zombie.
ended() {
    kill -s 0 "$$" || return 0
    read -r stat <"/proc/$$/stat" || return 1
    case ${stat##*) } in Z*) return 0 ;; esac
    return 1
}

exec 3<&0 </dev/null
(
    (
        trap '' HUP INT QUIT TERM
        while read -r order <&3; do
            # The folder passes to the owner's next guardian.
            [ "$order" = leave ] && exit
        done

        # The owner is gone. SIGQUIT ends PostgreSQL at once, initdb too.
        kill -s QUIT -- "-$$"
        tries=0
        # Within 5 s PostgreSQL kills what it cannot end otherwise: wait for twice that.
        until ended || [ "$tries" -ge 200 ]; do
            sleep 0.05
            tries=$((tries + 1))
        done
        kill -s KILL "$$"
        # Once more, should something have written to the folder a moment ago.
        rm -rf "$folder" || { sleep 1 && rm -rf "$folder"; }
    ) 2>/dev/null &
)
exec 3<&-
exec "$@"
