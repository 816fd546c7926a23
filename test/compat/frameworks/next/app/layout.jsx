/** What Next.js wants around every page. */
export const metadata = { title: 'otelpyroscope' };

// Next.js asks for a default export.
export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
