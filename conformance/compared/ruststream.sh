exec "$RUSTSTREAM" run
