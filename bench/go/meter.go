package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
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
	Delays       []int64 `json:"delays,omitempty"`
}

// What a lap has cost.
type meter struct {
	lap    lap
	called time.Time
	first  time.Time
	cpu    int64
}

func newMeter() *meter {
	return &meter{called: time.Now()}
}

// A record is there, or about to be sent; only the first call counts.
func (m *meter) begin() {
	if m.first.IsZero() {
		m.first, m.cpu = time.Now(), cpuMicros()
	}
}

func (m *meter) add(key, value []byte) {
	m.lap.Records++
	m.lap.Bytes += int64(len(key) + len(value))
}

// The last record was read, or acknowledged.
func (m *meter) end() (*lap, error) {
	m.lap.CPUMicros = cpuMicros() - m.cpu
	m.lap.Seconds = time.Since(m.first).Seconds()
	m.lap.SecondsOfAll = time.Since(m.called).Seconds()
	var err error
	m.lap.VMHWMKiB, err = vmHWM()
	return &m.lap, err
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
