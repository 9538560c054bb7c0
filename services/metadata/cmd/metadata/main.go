// Command metadata runs the metadata service as a process of its own.
package main

import (
	"context"

	"kanal/libs/service"
	"kanal/services/metadata"
)

func main() {
	cfg := new(metadata.Config)
	service.Main("metadata", cfg, func(_ context.Context, _ service.Process, deps service.Deps) (service.Runner, error) {
		return metadata.New(*cfg, deps)
	})
}
