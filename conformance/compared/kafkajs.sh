exec node "$MODULES/kafkajs.mjs"
