exec python3 "$PEERS/aiokafka_loop.py"
