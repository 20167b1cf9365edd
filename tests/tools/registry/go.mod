// A registry of images in memory, for tests: pinned here, built by build.sh. There is no Go code. A module of its own, since it shares
// nothing with the control plane.
module example.invalid/crik/tests/tools/registry

go 1.26.0

tool github.com/google/go-containerregistry/cmd/registry

require github.com/google/go-containerregistry v0.22.1 // indirect
