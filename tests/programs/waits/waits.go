// Waits again and again in each way that Go has; see waits.py.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

const pause = 200 * time.Millisecond

var start = time.Now()

func tick(name string) {
	// Go tells no more of its clock than how long ago something was.
	now := time.Since(start).Nanoseconds()
	os.Stdout.WriteString(fmt.Sprintf("tick %s %d %d\n", name, now, now))
}

func repeat(name string, wait func()) {
	go func() {
		for {
			wait()
			tick(name)
		}
	}()
}

func main() {
	ticker := time.NewTicker(pause)
	timer := time.NewTimer(pause)
	repeat("sleep", func() { time.Sleep(pause) })
	repeat("ticker", func() { <-ticker.C })
	repeat("after", func() { <-time.After(pause) })
	repeat("timer", func() { <-timer.C; timer.Reset(pause) })
	repeat("context", func() {
		limited, cancel := context.WithTimeout(context.Background(), pause)
		defer cancel()
		<-limited.Done()
	})
	repeat("after-func", func() {
		var called sync.WaitGroup
		called.Add(1)
		time.AfterFunc(pause, called.Done)
		called.Wait()
	})
	select {}
}
