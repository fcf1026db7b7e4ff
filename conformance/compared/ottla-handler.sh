where="$OTTLA_PARTITION $OTTLA_OFFSET $OTTLA_KEY"
IFS='[,"]' read -r _ number _ what _ wait _ || true
[[ $what ]] || { echo "poison $where"; exit 65; }
# stdout is shown when the handler ends; this is seen at once.
echo "begin $where" >/proc/$PPID/fd/1 2>/dev/null || echo "begin $where"
sleep "$((wait / 1000)).$(printf %03d $((wait % 1000)))"
[[ $what == ok ]] && echo "end $where" && exit 0
echo "fail $where"
exit 1
