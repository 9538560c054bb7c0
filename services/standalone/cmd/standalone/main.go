// Command standalone runs all of Kanal in one process: Kafka on localhost:9092.
package main

import (
	"context"

	"kanal/libs/service"
	"kanal/services/standalone"
)

func main() {
	cfg := new(standalone.Config)
	service.Main("standalone", cfg, func(ctx context.Context, p service.Process, deps service.Deps) (service.Runner, error) {
		return standalone.New(ctx, *cfg, p.NATSURL, deps)
	})
}
