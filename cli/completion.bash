# bash completion for drover. Commands and options come from its own help, hosts, guests and jobs from the coordinator.

_drover_column() { # COLUMN COMMAND...: a column of a table, without its head
    local column=$1
    shift
    drover "$@" --timeout 1s 2>/dev/null </dev/null | awk -v c="$column" 'NR > 1 { print $c }'
}

_drover() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command= sub= word words=
    local i skip=
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $skip ]]; then
            skip=
        elif [[ $word == --coordinator || $word == --tls-ca || $word == --tls-cert || $word == --timeout ]]; then
            skip=1
        elif [[ $command == maintenance && ! $sub && $word == --rolling ]]; then
            sub=$word
        elif [[ $word == -* ]]; then
            continue
        elif [[ ! $command ]]; then
            command=$word
        elif [[ $command == @(pki|fence|maintenance) && ! $sub ]]; then
            sub=$word
        fi
    done
    COMPREPLY=()
    case $prev in
    --to | --host | --on | --rolling)
        if [[ $command == move ]]; then words=$(_drover_column 2 hosts); else words=$(_drover_column 1 hosts); fi
        ;;
    --from | --site | --to-site)
        words=$(_drover_column 2 hosts)
        ;;
    --vm)
        words=$(_drover_column 2 vms)
        ;;
    --mode)
        words="auto live post-copy offline"
        ;;
    --allow)
        words="offline auto-converge post-copy offline,auto-converge offline,post-copy none"
        ;;
    --resolve)
        words="source destination"
        ;;
    --tls-ca | --tls-cert | --out)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --coordinator)
        words="ipc:///run/drover/coordinator.sock tls+tcp://"
        ;;
    *)
        if [[ $command == maintenance && ! $sub ]]; then
            words="on off --rolling"
        elif [[ $cur == -* ]]; then
            words="$(drover $command $sub --help 2>/dev/null | awk '$1 ~ /^--/ { print $1 }')
                --json --help --coordinator --tls-ca --tls-cert --timeout"
        elif [[ ! $command ]]; then
            words=$(drover --help | awk '/^Commands/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')
        elif [[ $command == pki && ! $sub ]]; then
            words="init issue list"
        elif [[ $command == fence && ! $sub ]]; then
            words="list release"
        elif [[ $command == fence ]]; then
            words=$(_drover_column 1 hosts)
        elif [[ $command == pki && $sub == issue ]]; then
            words="agent/ coordinator/ operator/"
        else
            case $command in
            doctor | storage | networks | evacuate | return | drill | maintenance) words=$(_drover_column 1 hosts) ;;
            migrate | check | free) words=$(_drover_column 2 vms) ;;
            watch | cancel | pause | resume) words=$(_drover_column 1 jobs) ;;
            job) words="$(_drover_column 1 jobs) $(_drover_column 1 history)" ;;
            esac
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    # A role is followed by a name at once.
    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace
    return 0
}

complete -F _drover drover
