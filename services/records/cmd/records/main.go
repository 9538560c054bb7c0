// Command records runs the records service as a process of its own.
package main

import (
	"context"

	"kanal/libs/service"
	"kanal/services/records"
)

func main() {
	cfg := new(records.Config)
	service.Main("records", cfg, func(_ context.Context, _ service.Process, deps service.Deps) (service.Runner, error) {
		return records.New(*cfg, deps)
	})
}
