// franz-go as the bench measures it: all partitions by hand, from the beginning, every default but the sizes that the
// floor has too. It is told, and prints, what the laps in Rust are told and print.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type lap struct {
	Records      int64   `json:"records"`
	Bytes        int64   `json:"bytes"`
	CPUMicros    int64   `json:"cpu_micros"`
	Seconds      float64 `json:"seconds"`
	SecondsOfAll float64 `json:"seconds_of_all"`
	VMHWMKiB     int64   `json:"vm_hwm_kib"`
	Fetched      *int64  `json:"fetched"`
	Log          *int64  `json:"log"`
}

func main() {
	lap, err := read(os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(lap); err != nil {
		log.Fatal(err)
	}
}

func read(args []string) (*lap, error) {
	flags := flag.NewFlagSet("lap", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "the brokers")
	topic := flags.String("topic", "", "the topic")
	partitions := flags.Int("partitions", 0, "how many it has")
	records := flags.Int64("records", 0, "how many to read")
	fetchMaxBytes := flags.Int("fetch-max-bytes", 50<<20, "of one fetch")
	flags.Int("millis-per-mb", 0, "not for peers")
	authority := flags.String("authority", "", "a file with who has signed the broker's certificate: TLS is spoken")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	offsets := map[int32]kgo.Offset{}
	for partition := range int32(*partitions) {
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: offsets}),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.FetchMaxBytes(int32(*fetchMaxBytes)),
		kgo.FetchMaxPartitionBytes(1 << 20),
	}
	if *authority != "" {
		pem, err := os.ReadFile(*authority)
		if err != nil {
			return nil, err
		}
		authorities := x509.NewCertPool()
		authorities.AppendCertsFromPEM(pem)
		options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: authorities}))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	lap, called := &lap{}, time.Now()
	var first time.Time
	var cpu int64
	for lap.Records < *records {
		fetches := client.PollFetches(context.Background())
		for _, failed := range fetches.Errors() {
			return nil, failed.Err
		}
		if first.IsZero() {
			first, cpu = time.Now(), cpuMicros()
		}
		fetches.EachRecord(func(record *kgo.Record) {
			lap.Records++
			lap.Bytes += int64(len(record.Key) + len(record.Value))
		})
	}
	lap.CPUMicros = cpuMicros() - cpu
	lap.Seconds = time.Since(first).Seconds()
	lap.SecondsOfAll = time.Since(called).Seconds()
	lap.VMHWMKiB, err = vmHWM()
	return lap, err
}

func cpuMicros() int64 {
	var usage syscall.Rusage
	// It cannot fail for the process itself.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}

func vmHWM() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var kib int64
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	_, err = fmt.Sscanf(after, "%d kB", &kib)
	return kib, err
}
