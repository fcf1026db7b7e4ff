exec ${LOW-} java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JARS/pc/lib/*:$JARS/pc" Parallel
