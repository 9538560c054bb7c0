package peer

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func number(variable string, otherwise int) (int, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: %w", variable, text, err)
	}
	return n, nil
}

func workTime() (time.Duration, error) {
	text := os.Getenv(EnvWork)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: %w", EnvWork, text, err)
	}
	return d, nil
}
