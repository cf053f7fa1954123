// SPDX-License-Identifier: GPL-2.0

// The graphs of ../mark.c for Go's collector: CPU time of runtime.GC() for each
// object, in the same lines.
//
//	usage: gc [OBJECTS [RUNS]]
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"syscall"
	"time"
)

const roots = 1024

type node struct {
	ref  [2]*node
	rest [6]uintptr
}

var root [roots]*node

func buildRandom(objects int) {
	all := make([]*node, objects)
	rnd := rand.New(rand.NewSource(1))
	for i := range all {
		all[i] = new(node)
	}
	for _, n := range all {
		n.ref[0] = all[rnd.Intn(objects)]
		n.ref[1] = all[rnd.Intn(objects)]
	}
	for i := range root {
		root[i] = all[rnd.Intn(objects)]
	}
}

func buildSubtree(depth int) *node {
	n := new(node)
	if depth > 0 {
		n.ref[0] = buildSubtree(depth - 1)
		n.ref[1] = buildSubtree(depth - 1)
	}
	return n
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func measure(name string, objects, runs int) {
	var times, walls []int64
	for i := 0; i < runs; i++ {
		c, w := cpu(), time.Now()
		runtime.GC()
		times = append(times, (cpu()-c)*1000/int64(objects))
		walls = append(walls, time.Since(w).Microseconds())
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	sort.Slice(walls, func(i, j int) bool { return walls[i] < walls[j] })
	fmt.Printf("go name=%s runs=%d objects=%d cpu_ps=%d cpu_min=%d cpu_max=%d wall_us=%d\n",
		name, runs, objects, times[runs/2], times[0], times[runs-1], walls[runs/2])
}

func number(i, other int) int {
	if len(os.Args) > i {
		if n, err := strconv.Atoi(os.Args[i]); err == nil {
			return n
		}
	}
	return other
}

func main() {
	objects, runs := number(1, 4<<20), number(2, 5)
	debug.SetGCPercent(-1)
	buildRandom(objects)
	measure("random", objects, runs)
	root = [roots]*node{}
	runtime.GC()
	depth := 0
	for 2<<(depth+1) <= objects {
		depth++
	}
	root[0] = buildSubtree(depth)
	measure("tree", 2<<depth-1, runs)
}
