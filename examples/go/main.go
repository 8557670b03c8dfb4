// Embeds texts through voyage-gateway, as a Go service does it: several addresses, deadlines, retries, a credential for
// each call, and errors that say who must act.
//
//	buf generate ../../proto && go run . -gateway localhost:50051 "a text" "another"
//
// VOYAGE_GATEWAY_TOKEN_FILE names the file of the bearer token, if the gateway requires one.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	// Asks each replica whether it serves, as the service configuration says.
	_ "google.golang.org/grpc/health"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	gatewayv1 "example.internal/voyage-gateway/examples/go/gen/voyage/gateway/v1"
)

func main() {
	gateway := flag.String("gateway", "localhost:50051", "name and port; or addresses with commas between them")
	config := flag.String("service-config", "../../deploy/client/service_config.json", "how to balance and retry")
	workers := flag.Int("until-eof", 0, "keep so many calls going until standard input ends, and count them")
	flag.Parse()

	connection, err := connect(*gateway, *config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer connection.Close()
	client := gatewayv1.NewEmbeddingServiceClient(connection)
	if *workers > 0 {
		untilEOF(client, *workers)
		return
	}
	if err := embed(client, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(1)
	}
}

// connect balances over all replicas. In Kubernetes, "dns:///NAME:50051" of a headless service lists them.
func connect(gateway, config string) (*grpc.ClientConn, error) {
	serviceConfig, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	replicas := manual.NewBuilderWithScheme("replicas")
	if strings.Contains(gateway, ",") {
		var state resolver.State
		for address := range strings.SplitSeq(gateway, ",") {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
		}
		replicas.InitialState(state)
		gateway = "replicas:///voyage-gateway"
	}
	return grpc.NewClient(gateway,
		grpc.WithResolvers(replicas),
		grpc.WithDefaultServiceConfig(string(serviceConfig)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(os.Getenv("VOYAGE_GATEWAY_TOKEN_FILE"))))
}

// bearer is the file of a token, which is read for every call: the kubelet renews it.
type bearer string

func (file bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	token, err := os.ReadFile(string(file))
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, nil
}

// RequireTransportSecurity is true where the gateway has [tls]; then the token never leaves in plaintext.
func (bearer) RequireTransportSecurity() bool { return false }

func embed(client gatewayv1.EmbeddingServiceClient, texts []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	reply, err := client.Embed(ctx, &gatewayv1.EmbedRequest{Inputs: texts})
	if err != nil {
		return err
	}
	for i, embedding := range reply.Embeddings {
		fmt.Printf("%s\t%d numbers\t%s\n", texts[i], len(embedding.Values), embedding.CacheStatus)
	}
	return nil
}

// explain says who must act. Programs decide by the reason and its domain, never by the message.
func explain(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return fmt.Sprintf("%s of %s: %v", info.Reason, info.Domain, err)
		}
	}
	return err.Error()
}

// untilEOF keeps calls going and counts their ends.
func untilEOF(client gatewayv1.EmbeddingServiceClient, workers int) {
	ended, end := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	var lock sync.Mutex
	answered, failed := 0, map[string]int{}
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for call := 0; ended.Err() == nil; call++ {
				text := fmt.Sprintf("go %d %d", worker, call)
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				reply, err := client.Embed(ctx, &gatewayv1.EmbedRequest{Inputs: []string{text}})
				cancel()
				lock.Lock()
				if err != nil {
					failed[explain(err)]++
				} else if len(reply.Embeddings) == 1 {
					if answered++; answered == 1 {
						fmt.Println("answered")
					}
				}
				lock.Unlock()
			}
		})
	}
	group.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"answered": answered, "failed": failed})
}
