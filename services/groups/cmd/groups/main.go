// Command groups runs the groups service as a process of its own.
package main

import (
	"context"

	"kanal/libs/service"
	"kanal/services/groups"
)

func main() {
	cfg := new(groups.Config)
	service.Main("groups", cfg, func(_ context.Context, _ service.Process, deps service.Deps) (service.Runner, error) {
		return groups.New(*cfg, deps)
	})
}
