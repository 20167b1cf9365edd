// Listens as every server of Go's does, and tells of each step once a client has been answered by it.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", ":7000")
	if err != nil {
		panic(err)
	}
	go serve(listener)
	start := time.Now()
	for {
		if answered() {
			now := time.Since(start).Nanoseconds()
			os.Stdout.WriteString(fmt.Sprintf("tick answered %d %d\n", now, now))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func serve(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		client.Write([]byte("hello\n"))
		client.Close()
	}
}

func answered() bool {
	client, err := net.Dial("tcp", "127.0.0.1:7000")
	if err != nil {
		return false
	}
	defer client.Close()
	answer, _ := bufio.NewReader(client).ReadString('\n')
	return answer == "hello\n"
}
