// Command loadgen drives load and says how fast it was answered.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"kanal/services/loadgen"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := loadgen.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}
