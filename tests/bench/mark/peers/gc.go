// SPDX-License-Identifier: GPL-2.0

// The graphs of ../mark.c for Go's collector: CPU time of runtime.GC() for each
// object that is alive, in the same lines.
//
//	usage: gc random|tree [OBJECTS [RUNS]]
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

// Objects that can be reached from the roots, none of them with flag before.
func visit(flag uintptr) int {
	live, stack := 0, append([]*node{}, root[:]...)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if n == nil || n.rest[0] == flag {
			continue
		}
		n.rest[0] = flag
		live++
		stack = append(stack, n.ref[0], n.ref[1])
	}
	return live
}

func countLive() int {
	visit(1)
	return visit(0)
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func measure(name string, runs int) {
	var times, walls []int64
	var m runtime.MemStats
	objects := countLive()
	runtime.GC()
	for i := 0; i < runs; i++ {
		c, w := cpu(), time.Now()
		runtime.GC()
		times = append(times, (cpu()-c)*1000/int64(objects))
		walls = append(walls, time.Since(w).Microseconds())
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	sort.Slice(walls, func(i, j int) bool { return walls[i] < walls[j] })
	runtime.ReadMemStats(&m)
	fmt.Printf("go name=%s runs=%d objects=%d cpu_ps=%d cpu_min=%d cpu_max=%d wall_us=%d memory=%d\n",
		name, runs, objects, times[runs/2], times[0], times[runs-1], walls[runs/2], m.HeapSys)
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
	objects, runs, depth := number(2, 4<<20), number(3, 5), 0
	debug.SetGCPercent(-1)
	if os.Args[1] == "random" {
		buildRandom(objects)
	} else {
		for 2<<(depth+1) <= objects {
			depth++
		}
		root[0] = buildSubtree(depth)
	}
	measure(os.Args[1], runs)
}
