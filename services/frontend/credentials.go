package frontend

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kanal/libs/cluster"
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

// clusterUsers are the users that the cluster keeps; a change counts as soon as
// the registry has seen it.
type clusterUsers struct{ registry *cluster.Registry }

// Scram implements sasl.Credentials.
func (u clusterUsers) Scram(user, mechanism string) (sasl.ScramCredential, bool) {
	found := u.registry.User(user)
	if found == nil {
		return sasl.ScramCredential{}, false
	}
	c, ok := found.Scram[mechanism]
	return sasl.ScramCredential(c), ok
}

// Password implements sasl.Credentials: the cluster keeps none.
func (clusterUsers) Password(string) (string, bool) { return "", false }

// credentials are those of the file, and those that the cluster keeps.
func (s *Service) credentials() (sasl.Credentials, error) {
	if s.users != nil {
		return s.users, nil
	}
	if path := s.cfg.CredentialsFile; path != "" {
		file, err := sasl.OpenCredentialsFile(path, s.log)
		if err != nil {
			return nil, fmt.Errorf("KANAL_SASL_CREDENTIALS_FILE: %w", err)
		}
		s.followers.start(file.Follow)
		s.users = append(s.users, file)
	}
	s.users = append(s.users, clusterUsers{s.registry})
	return s.users, nil
}

// keySource is a key set's source and how often it is read.
type keySource struct {
	source  string
	refresh time.Duration
}

// keySet is shared by the listeners that name it, those that come later too.
func (s *Service) keySet(source string, refresh time.Duration) (*sasl.KeySet, error) {
	from := keySource{source, refresh}
	if k := s.keySets[from]; k != nil {
		return k, nil
	}
	k, err := sasl.OpenKeySet(source, refresh, s.log)
	if err != nil {
		return nil, err
	}
	s.followers.start(k.Follow)
	s.keySets[from] = k
	return k, nil
}
