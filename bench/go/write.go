package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Records as fast as they go.
func write(args []string) (*lap, error) {
	flags := flag.NewFlagSet("lap-write", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "the brokers")
	topic := flags.String("topic", "", "the topic")
	payloads := flags.String("payloads", "", "a file with a value a line")
	codec := flags.String("codec", "none", "by Java's name for it")
	before := flags.Int64("before", 0, "so many are written first")
	records := flags.Int64("records", 0, "how many to write")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(*payloads)
	if err != nil {
		return nil, err
	}
	values := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	compression := kgo.NoCompression()
	if *codec == "lz4" {
		compression = kgo.Lz4Compression()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.DefaultProduceTopic(*topic),
		kgo.ProducerBatchCompression(compression),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(5*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if _, err := send(client, values, *before); err != nil {
		return nil, err
	}
	meter, err := send(client, values, *records)
	if err != nil {
		return nil, err
	}
	return meter.end()
}

// Returns when all are acknowledged.
func send(client *kgo.Client, values [][]byte, count int64) (*meter, error) {
	var failed atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	meter, ctx := newMeter(), context.Background()
	meter.begin()
	for meter.lap.Records < count {
		value := values[meter.lap.Records%int64(len(values))]
		client.Produce(ctx, &kgo.Record{Value: value}, promise)
		meter.add(nil, value)
	}
	if err := client.Flush(ctx); err != nil {
		return nil, err
	}
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return meter, nil
}
