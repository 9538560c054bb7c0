package peer

import (
	"os"
	"path/filepath"
	"runtime/pprof"
)

// EnvProfile is a folder for the processor profiles of the processes, by their names and process ids.
const EnvProfile = "KANAL_BENCH_PROFILE"

// Profile writes what the process does until stop is called, if the environment wants that.
func Profile(name string) (stop func(), err error) {
	folder := os.Getenv(EnvProfile)
	if folder == "" {
		return func() {}, nil
	}
	f, err := os.CreateTemp(folder, filepath.Base(name)+"-*.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut shows itself
	}, nil
}
