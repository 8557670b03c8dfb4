// A Go service that calls the gateway with the shipped settings: the Go twin of tests/interop/load.py, which documents
// the commands it reads from standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/dns"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	gatewayv1 "example.internal/voyage-gateway/examples/go/gen/voyage/gateway/v1"
)

// For one call: long, so that a busy machine fails none.
const deadline = 60 * time.Second

// counts is the number of calls by status.
type counts struct {
	lock     sync.Mutex
	endings  map[string]int
	underWay sync.WaitGroup
}

func (c *counts) start(client gatewayv1.EmbeddingServiceClient, text string) {
	c.underWay.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		_, err := client.Embed(ctx, &gatewayv1.EmbedRequest{Inputs: []string{text}})
		// Failures are counted by status and message.
		ending := "OK"
		if err != nil {
			ending = fmt.Sprintf("%s: %s", status.Code(err), status.Convert(err).Message())
		}
		c.lock.Lock()
		defer c.lock.Unlock()
		c.endings[ending]++
	})
}

func (c *counts) report() {
	c.lock.Lock()
	defer c.lock.Unlock()
	check(json.NewEncoder(os.Stdout).Encode(c.endings))
}

// pace starts calls at a steady rate, however long each takes, and makes up for those that come late.
func pace(ctx context.Context, client gatewayv1.EmbeddingServiceClient, rate int, load *counts) {
	start := time.Now()
	for call := 0; ; call++ {
		due := start.Add(time.Duration(call) * time.Second / time.Duration(rate))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
			load.start(client, fmt.Sprintf("go %d", call))
		}
	}
}

// connect takes a DNS name, or addresses with commas between them behind "ipv4:", as Python does.
func connect(target, config string) *grpc.ClientConn {
	settings, err := os.ReadFile(config)
	check(err)
	options := []grpc.DialOption{
		grpc.WithDefaultServiceConfig(string(settings)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("voyage-gateway"),
	}
	if addresses, listed := strings.CutPrefix(target, "ipv4:"); listed {
		replicas := manual.NewBuilderWithScheme("replicas")
		var state resolver.State
		for address := range strings.SplitSeq(addresses, ",") {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
		}
		replicas.InitialState(state)
		target, options = "replicas:///voyage-gateway", append(options, grpc.WithResolvers(replicas))
	}
	connection, err := grpc.NewClient(target, options...)
	check(err)
	return connection
}

func main() {
	resolveEvery := flag.Int("resolve-every", 30_000, "milliseconds")
	flag.Parse()
	dns.SetMinResolutionInterval(time.Duration(*resolveEvery) * time.Millisecond)
	connection := connect(flag.Arg(0), flag.Arg(1))
	defer connection.Close()
	client := gatewayv1.NewEmbeddingServiceClient(connection)

	load, pacers := &counts{endings: map[string]int{}}, sync.WaitGroup{}
	ctx, end := context.WithCancel(context.Background())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "calls":
			own := &counts{endings: map[string]int{}}
			for call := range number(words) {
				own.start(client, fmt.Sprintf("go call %d", call))
			}
			own.underWay.Wait()
			own.report()
		case "load":
			pacers.Go(func() { pace(ctx, client, number(words), load) })
		case "counts":
			load.report()
		}
	}
	end()
	pacers.Wait()
	load.underWay.Wait()
	load.report()
}

func number(words []string) int {
	value, err := strconv.Atoi(words[1])
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
