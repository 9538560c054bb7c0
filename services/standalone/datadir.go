package standalone

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDataDir makes the folder and takes its lock, which the kernel gives back
// when the process ends, however it ends. The error says who has it.
func lockDataDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the data folder (KANAL_DATA_DIR=%s): %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data folder (KANAL_DATA_DIR=%s): %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(f.Name())
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("data folder %s is in use by process %s: stop it, or set KANAL_DATA_DIR to another folder", dir, strings.TrimSpace(string(holder)))
	}
	if err := note(f); err != nil {
		_ = f.Close() // the error that is returned says more
		return nil, fmt.Errorf("write the lock of the data folder (KANAL_DATA_DIR=%s): %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// note writes who holds the lock.
func note(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}
