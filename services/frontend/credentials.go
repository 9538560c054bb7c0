package frontend

import (
	"context"
	"fmt"
	"sync"

	"kanal/libs/sasl"
)

// followers keep up with what changes outside, as long as the front end lives.
type followers struct {
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup
}

func newFollowers() *followers {
	f := new(followers)
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

func (f *followers) start(follow func(context.Context)) { f.all.Go(func() { follow(f.ctx) }) }

func (f *followers) close() {
	f.stop()
	f.all.Wait()
}

// credentials are those of the file.
func (s *Service) credentials() (sasl.Credentials, error) {
	if s.users != nil {
		return s.users, nil
	}
	s.users = sasl.Stores{}
	if path := s.cfg.CredentialsFile; path != "" {
		file, err := sasl.OpenCredentialsFile(path, s.log)
		if err != nil {
			return nil, fmt.Errorf("KANAL_SASL_CREDENTIALS_FILE: %w", err)
		}
		s.followers.start(file.Follow)
		s.users = append(s.users, file)
	}
	return s.users, nil
}
