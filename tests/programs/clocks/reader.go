// Tells how many seconds have passed since it began, by Go's own clock, whenever a line comes on standard input; then waits for a
// moment by a ticker and a context.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"
)

func main() {
	began := time.Now()
	for i := 0; i < 4; i++ {
		go func() {
			for {
				_ = time.Since(began)
				time.Sleep(time.Millisecond)
			}
		}()
	}
	fmt.Println("looks")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		passed := time.Since(began)
		ticker := time.NewTicker(10 * time.Millisecond)
		<-ticker.C
		ticker.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		<-ctx.Done()
		cancel()
		fmt.Printf("%.1f\n", passed.Seconds())
	}
}
