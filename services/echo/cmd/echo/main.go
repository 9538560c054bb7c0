// Command echo runs the echo service as a process of its own.
package main

import (
	"context"

	"kanal/libs/service"
	"kanal/services/echo"
)

func main() {
	cfg := new(echo.Config)
	service.Main("echo", cfg, func(_ context.Context, _ service.Process, deps service.Deps) (service.Runner, error) {
		return echo.New(*cfg, deps)
	})
}
