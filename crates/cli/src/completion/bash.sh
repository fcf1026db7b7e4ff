# A word is what blanks separate. Readline cuts it at colons and equals signs, too, as in host:9092, and takes what is offered for
# the last piece alone.
_ottla() {
    local line=${COMP_LINE:0:COMP_POINT} words=() last=-1 index word
    for ((index = 0; index <= COMP_CWORD; index++)); do
        if ((last < 0)) || [[ $line == [[:blank:]]* ]]; then
            words[++last]=
        fi
        line=${line#"${line%%[![:blank:]]*}"}
        word=${COMP_WORDS[index]}
        if ((index == COMP_CWORD)); then
            # What is behind the cursor does not count.
            word=$line
        fi
        words[last]+=$word
        line=${line#"$word"}
    done
    local typed=${words[last]} found=() name
    IFS=$'\013' read -r -d '' -a found < <(
        OTTLA_COMPLETE=bash _CLAP_IFS=$'\013' _CLAP_COMPLETE_INDEX=$last ottla -- "${words[@]}" 2>/dev/null
    )
    local pieces=${typed%"$2"}
    COMPREPLY=()
    for name in "${found[@]}"; do
        if [[ $typed != [\'\"]* ]]; then
            name=${name#"${pieces//\\/}"}
            if [[ $name == *[!A-Za-z0-9_@%+=:,./-]* ]]; then
                printf -v name %q "$name"
            fi
        fi
        COMPREPLY+=("$name")
    done
    if [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *[=/:] ]]; then
        compopt +o nospace 2>/dev/null
    fi
}
complete -o nospace -o bashdefault -o nosort -F _ottla ottla 2>/dev/null || complete -o nospace -o bashdefault -F _ottla ottla
