// Command frontend runs a front end as a process of its own.
package main

import (
	"context"

	"kanal/libs/service"
	"kanal/services/frontend"
)

func main() {
	cfg := new(frontend.Config)
	service.Main("frontend", cfg, func(_ context.Context, _ service.Process, deps service.Deps) (service.Runner, error) {
		return frontend.New(*cfg, deps)
	})
}
