# Ottla: OPTIONS are those of `ottla process`, with TOPIC for the topic.
exec "$OTTLA" process "$TOPIC" -G "$GROUP" -b "$BROKERS" --exec "bash $PEERS/ottla-handler.sh" -v ${OPTIONS//TOPIC/$TOPIC} ${PATIENCE:+-X max.poll.interval.ms=$PATIENCE}
