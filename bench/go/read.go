package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What is read, and how.
type course struct {
	bootstrap     string
	topic         string
	partitions    int
	records       int64
	fetchMaxBytes int
	authority     string
}

func (c *course) flags(flags *flag.FlagSet) {
	flags.StringVar(&c.bootstrap, "bootstrap", "", "the brokers")
	flags.StringVar(&c.topic, "topic", "", "the topic")
	flags.IntVar(&c.partitions, "partitions", 0, "how many it has")
	flags.Int64Var(&c.records, "records", 0, "how many to read")
	flags.IntVar(&c.fetchMaxBytes, "fetch-max-bytes", 50<<20, "of one fetch")
	flags.Int("millis-per-mb", 0, "not for peers")
	flags.StringVar(&c.authority, "authority", "", "a file with who has signed the broker's certificate: TLS is spoken")
}

// A client that reads all partitions from an offset on.
func (c *course) client(from kgo.Offset) (*kgo.Client, error) {
	offsets := map[int32]kgo.Offset{}
	for partition := range int32(c.partitions) {
		offsets[partition] = from
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: offsets}),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.FetchMaxBytes(int32(c.fetchMaxBytes)),
		kgo.FetchMaxPartitionBytes(1 << 20),
	}
	if c.authority != "" {
		pem, err := os.ReadFile(c.authority)
		if err != nil {
			return nil, err
		}
		authorities := x509.NewCertPool()
		authorities.AppendCertsFromPEM(pem)
		options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: authorities}))
	}
	return kgo.NewClient(options...)
}

func read(args []string) (*lap, error) {
	var course course
	flags := flag.NewFlagSet("lap", flag.ExitOnError)
	course.flags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	client, err := course.client(kgo.NewOffset().AtStart())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	meter := newMeter()
	for meter.lap.Records < course.records {
		fetches := client.PollFetches(context.Background())
		for _, failed := range fetches.Errors() {
			return nil, failed.Err
		}
		meter.begin()
		fetches.EachRecord(func(record *kgo.Record) { meter.add(record.Key, record.Value) })
	}
	return meter.end()
}

// How late records come that begin with the time at which they were sent.
func watch(args []string) (*lap, error) {
	var course course
	flags := flag.NewFlagSet("lap-latency", flag.ExitOnError)
	course.flags(flags)
	before := flags.Int64("before", 0, "so many are read first")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	client, err := course.client(kgo.NewOffset().AtEnd())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	meter := newMeter()
	for int64(len(meter.lap.Delays)) < course.records {
		fetches := client.PollFetches(context.Background())
		for _, failed := range fetches.Errors() {
			return nil, failed.Err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			if *before > 0 {
				*before--
				continue
			}
			if len(record.Value) < 8 {
				return nil, fmt.Errorf("a record with half a time")
			}
			meter.begin()
			meter.add(nil, record.Value)
			sent := int64(binary.BigEndian.Uint64(record.Value))
			meter.lap.Delays = append(meter.lap.Delays, max(0, time.Now().UnixMicro()-sent))
		}
	}
	return meter.end()
}
