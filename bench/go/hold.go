package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	owned       atomic.Int64
	isNextFirst atomic.Bool
)

// Very many partitions, by hand or as a member of a group, held until the end of the input.
func hold(args []string) error {
	flags := flag.NewFlagSet("hold", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "the brokers")
	topic := flags.String("topic", "", "the topic")
	partitions := flags.Int("partitions", 0, "how many it has")
	records := flags.Int64("records", 0, "how many records")
	way := flags.String("way", "", "assigned or classic")
	group := flags.String("group", "", "of those who subscribe")
	heartbeat := flags.Int("heartbeat-millis", 0, "between two heartbeats")
	if err := flags.Parse(args); err != nil {
		return err
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// As all the others have it by default: of its own 5 s an idle second would have a tenth of the fetches.
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
	switch *way {
	case "assigned":
		offsets := map[int32]kgo.Offset{}
		for partition := range int32(*partitions) {
			offsets[partition] = kgo.NewOffset().AtStart()
		}
		options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: offsets}))
	case "classic":
		options = append(options,
			kgo.ConsumerGroup(*group),
			kgo.ConsumeTopics(*topic),
			kgo.HeartbeatInterval(time.Duration(*heartbeat)*time.Millisecond),
			kgo.OnPartitionsAssigned(moved(1)),
			kgo.OnPartitionsRevoked(moved(-1)),
			kgo.OnPartitionsLost(moved(-1)),
		)
	default:
		return fmt.Errorf("no such way: %s", *way)
	}
	isNextFirst.Store(true)
	go obey()
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	for seen := int64(0); ; {
		fetches := client.PollFetches(context.Background())
		for _, failed := range fetches.Errors() {
			return failed.Err
		}
		count := int64(fetches.NumRecords())
		if count == 0 {
			continue
		}
		if isNextFirst.Swap(false) {
			tell("record")
		}
		if seen < *records && seen+count >= *records {
			tell("all")
		}
		seen += count
	}
}

func moved(sign int64) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		count := int64(0)
		for _, of := range partitions {
			count += int64(len(of))
		}
		if count == 0 {
			return
		}
		tell(fmt.Sprintf("owns-%d", owned.Add(sign*count)))
		isNextFirst.Store(true)
	}
}

// Each line asks for the garbage to be collected; the end of the input ends the process.
func obey() {
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		debug.FreeOSMemory()
		tell("collected")
	}
	os.Exit(0)
}

func tell(what string) {
	fmt.Printf("%s %d\n", what, time.Now().UnixMilli())
}
