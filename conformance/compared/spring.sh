exec ${LOW-} java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JARS/spring/lib/*:$JARS/spring" Spring
