package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How far all groups are behind: of how many of their partitions that is told.
func scan(args []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(args[0], ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	groups, err := kadm.NewClient(client).Lag(context.Background())
	if err != nil {
		return err
	}
	if err := groups.Error(); err != nil {
		return err
	}
	rows := 0
	for _, group := range groups {
		for _, partitions := range group.Lag {
			rows += len(partitions)
		}
	}
	_, err = fmt.Println(rows)
	return err
}
