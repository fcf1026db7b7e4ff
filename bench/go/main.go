// franz-go as the bench measures it: it reads all partitions by hand, with every default but the sizes that the floor has
// too, and writes without a wait for each record. It is told, and prints, what the laps in Rust are told and print.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
)

func main() {
	switch os.Args[1] {
	case "hold":
		log.Fatal(hold(os.Args[2:]))
	case "scan":
		if err := scan(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	lap, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(lap); err != nil {
		log.Fatal(err)
	}
}

func run(verb string, args []string) (*lap, error) {
	switch verb {
	case "lap":
		return read(args)
	case "lap-write":
		return write(args)
	case "lap-latency":
		return watch(args)
	}
	return nil, fmt.Errorf("no such lap: %s", verb)
}
