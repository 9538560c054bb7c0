package service

import (
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
)

// NewLogger makes the process's logger on w: coloured text on a terminal, JSON
// elsewhere, unless the format is set. p must be valid.
func NewLogger(w *os.File, p Process) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(p.LogLevel)) // validated
	terminal := isatty.IsTerminal(w.Fd())
	if p.LogFormat == "json" || p.LogFormat == "auto" && !terminal {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(textHandler(w, level, !terminal))
}

func textHandler(w io.Writer, level slog.Level, plain bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: level, NoColor: plain, TimeFormat: "15:04:05.000"})
}
