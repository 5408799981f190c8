// A driver for paho Go (see README.md): MQTT 3.1 and 3.1.1.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const wait = 20 * time.Second

var arrived = make(chan mqtt.Message, 10000)

func must(what string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		os.Exit(1)
	}
}

func done(what string, t mqtt.Token) {
	if !t.WaitTimeout(wait) {
		must(what, fmt.Errorf("nothing came"))
	}
	must(what, t.Error())
}

func options(stay bool) *mqtt.ClientOptions {
	secret, err := os.ReadFile(os.Getenv("SECRET_FILE"))
	must("secret", err)
	ca, err := os.ReadFile(os.Getenv("CA"))
	must("ca", err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	version, _ := strconv.Atoi(os.Getenv("VERSION"))
	url := strings.Replace(os.Getenv("URL"), "mqtts://", "ssl://", 1)
	url = strings.Replace(url, "mqtt://", "tcp://", 1)
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID(os.Getenv("ID"))
	o.SetUsername(os.Getenv("NAME")).SetPassword(strings.TrimSpace(string(secret)))
	o.SetTLSConfig(&tls.Config{RootCAs: pool}).SetCleanSession(!stay).SetProtocolVersion(uint(version))
	o.SetConnectTimeout(5 * time.Second).SetMaxReconnectInterval(time.Second)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { arrived <- m })
	return o
}

func dial(o *mqtt.ClientOptions) mqtt.Client {
	c := mqtt.NewClient(o)
	done("connect", c.Connect())
	return c
}

func next(what string) mqtt.Message {
	select {
	case m := <-arrived:
		return m
	case <-time.After(wait):
		must(what, fmt.Errorf("nothing came"))
		return nil
	}
}

func expect(i int, size int) {
	m := next("message " + strconv.Itoa(i))
	got := string(bytes.TrimRight(m.Payload(), " "))
	if got != strconv.Itoa(i) || size != 0 && len(m.Payload()) != size {
		must("message "+strconv.Itoa(i), fmt.Errorf("came as %q", got))
	}
}

func roundtrip(topic string, qos byte, count int, size int) {
	c := dial(options(false))
	done("subscribe", c.Subscribe(topic, qos, nil))
	for i := 0; i < count; i++ {
		payload := bytes.Repeat([]byte(" "), size)
		copy(payload, strconv.Itoa(i))
		done("publish", c.Publish(topic, qos, false, payload))
	}
	for i := 0; i < count; i++ {
		expect(i, size)
	}
	c.Disconnect(200)
}

func retained(topic string) {
	c := dial(options(false))
	done("publish", c.Publish(topic, 1, true, "kept"))
	done("subscribe", c.Subscribe(topic, 1, nil))
	if m := next("retained"); !m.Retained() || string(m.Payload()) != "kept" {
		must("retained", fmt.Errorf("came as an ordinary one"))
	}
	done("clear", c.Publish(topic, 1, true, ""))
	c.Disconnect(200)
}

// This version of the library does not say whether the session was there; what waits there says it.
func wake(count int) {
	c := dial(options(true))
	for i := 0; i < count; i++ {
		expect(i, 0)
	}
	c.Disconnect(200)
}

func stay(topic string) {
	o := options(true).SetAutoReconnect(true)
	o.SetOnConnectHandler(func(c mqtt.Client) {
		c.Subscribe(topic, 1, nil).Wait()
		fmt.Println("up")
	})
	dial(o)
	for m := range arrived {
		fmt.Println(string(m.Payload()))
	}
}

func main() {
	number := func(i int) int { n, _ := strconv.Atoi(os.Args[i]); return n }
	switch os.Args[1] {
	case "roundtrip":
		roundtrip(os.Args[2], byte(number(3)), number(4), number(5))
	case "retained":
		retained(os.Args[2])
	case "sleep":
		c := dial(options(true))
		done("subscribe", c.Subscribe(os.Args[2], 1, nil))
		c.Disconnect(200)
	case "wake":
		wake(number(2))
	case "will":
		dial(options(false).SetWill(os.Args[2], "gone", 1, false))
		fmt.Println("up")
		select {}
	case "stay":
		stay(os.Args[2])
	}
	fmt.Println("ok")
}
