// Command crds decodes the objects on standard input that operators define, strictly, into the operators' own types: a
// field they do not know, or of another type, is an error. Other objects are passed over.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

func types() map[string]any {
	return map[string]any{
		"monitoring.coreos.com/v1/PodMonitor":     &monitoring.PodMonitor{},
		"monitoring.coreos.com/v1/ServiceMonitor": &monitoring.ServiceMonitor{},
		"monitoring.coreos.com/v1/PrometheusRule": &monitoring.PrometheusRule{},
		"gateway.networking.k8s.io/v1/GRPCRoute":  &gateway.GRPCRoute{},
	}
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	failed := false
	for _, document := range bytes.Split(append([]byte("\n"), input...), []byte("\n---\n")) {
		if err := decode(document); err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func decode(document []byte) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	object, known := types()[head.APIVersion+"/"+head.Kind]
	if !known {
		return nil
	}
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		return fmt.Errorf("%s/%s: %w", head.Kind, head.Metadata.Name, err)
	}
	return nil
}
